# Runs nvcc on one source and keeps what ptxas says of registers, spills and shared memory. NVCC, OBJECT, SOURCE, ROOT, HOST, OPTIONS.
get_filename_component(folder ${OBJECT} DIRECTORY)
file(MAKE_DIRECTORY ${folder})
execute_process(
  COMMAND ${NVCC} -c ${SOURCE} -o ${OBJECT} -ccbin ${HOST} -std=c++20 -O3 -I${ROOT} -Xcompiler -fPIC,-Wall,-Wextra -Xptxas -v
          -MD -MF ${OBJECT}.d ${OPTIONS}
  RESULT_VARIABLE status ERROR_VARIABLE report OUTPUT_VARIABLE report)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${report}")
endif()
file(WRITE ${OBJECT}.resources.txt "${report}")
