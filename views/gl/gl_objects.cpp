#include "views/gl/gl_objects.h"

#include <QOpenGLContext>
#include <QOpenGLExtraFunctions>
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/error.h"

namespace ditscope::gl {
namespace {

QOpenGLExtraFunctions* functions() {
  QOpenGLContext* context = QOpenGLContext::currentContext();
  return context ? context->extraFunctions() : nullptr;
}

QOpenGLExtraFunctions& gl() {
  QOpenGLExtraFunctions* found = functions();
  if (!found) throw Error(ErrorKind::Device, "expected a current OpenGL context, got none");
  return *found;
}

unsigned compile(unsigned kind, const std::string& source) {
  const unsigned shader = gl().glCreateShader(kind);
  const char* text = source.c_str();
  gl().glShaderSource(shader, 1, &text, nullptr);
  gl().glCompileShader(shader);
  int ok = 0;
  gl().glGetShaderiv(shader, GL_COMPILE_STATUS, &ok);
  if (!ok) {
    char log[2048] = "";
    gl().glGetShaderInfoLog(shader, sizeof log, nullptr, log);
    gl().glDeleteShader(shader);
    throw Error(ErrorKind::Device, std::string("this OpenGL driver does not compile a shader: ") + log);
  }
  return shader;
}

/// One frame as bytes or floats; the driver makes the 16-bit floats.
void upload_layer(const Frames& frames, int layer, bool bytes, std::vector<unsigned char>& scratch) {
  const float* source = frames.frame(layer);
  if (!bytes) {
    gl().glTexSubImage3D(GL_TEXTURE_2D_ARRAY, 0, 0, 0, layer, frames.width, frames.height, 1, GL_RGB, GL_FLOAT, source);
    return;
  }
  scratch.resize(frames.frame_size());
  std::transform(source, source + frames.frame_size(), scratch.begin(),
                 [](float value) { return static_cast<unsigned char>(std::lround(std::clamp(value, 0.0f, 1.0f) * 255.0f)); });
  gl().glTexSubImage3D(GL_TEXTURE_2D_ARRAY, 0, 0, 0, layer, frames.width, frames.height, 1, GL_RGB, GL_UNSIGNED_BYTE,
                       scratch.data());
}

}  // namespace

Program::Program(const std::string& vertex, const std::string& fragment) {
  const unsigned first = compile(GL_VERTEX_SHADER, vertex);
  const unsigned second = compile(GL_FRAGMENT_SHADER, fragment);
  id_ = gl().glCreateProgram();
  gl().glAttachShader(id_, first);
  gl().glAttachShader(id_, second);
  gl().glLinkProgram(id_);
  gl().glDeleteShader(first);
  gl().glDeleteShader(second);
  int ok = 0;
  gl().glGetProgramiv(id_, GL_LINK_STATUS, &ok);
  if (!ok) {
    char log[2048] = "";
    gl().glGetProgramInfoLog(id_, sizeof log, nullptr, log);
    gl().glDeleteProgram(std::exchange(id_, 0));
    throw Error(ErrorKind::Device, std::string("this OpenGL driver does not link a shader: ") + log);
  }
}

Program::~Program() {
  if (id_ && functions()) functions()->glDeleteProgram(id_);
}

void Program::use() const {
  gl().glUseProgram(id_);
}
void Program::set(const char* name, int value) const {
  gl().glUniform1i(gl().glGetUniformLocation(id_, name), value);
}
void Program::set(const char* name, float value) const {
  gl().glUniform1f(gl().glGetUniformLocation(id_, name), value);
}
void Program::set(const char* name, float x, float y) const {
  gl().glUniform2f(gl().glGetUniformLocation(id_, name), x, y);
}
void Program::set(const char* name, float x, float y, float z) const {
  gl().glUniform3f(gl().glGetUniformLocation(id_, name), x, y, z);
}
void Program::set(const char* name, float x, float y, float z, float w) const {
  gl().glUniform4f(gl().glGetUniformLocation(id_, name), x, y, z, w);
}

FrameArray::FrameArray(const Frames& frames) : count_(frames.count), width_(frames.width), height_(frames.height) {
  if (frames.empty()) return;
  int most_layers = 0, most_px = 0;
  gl().glGetIntegerv(GL_MAX_ARRAY_TEXTURE_LAYERS, &most_layers);
  gl().glGetIntegerv(GL_MAX_TEXTURE_SIZE, &most_px);
  if (count_ > most_layers || width_ > most_px || height_ > most_px) {
    throw Error(ErrorKind::Unsupported, "this OpenGL driver shows at most " + std::to_string(most_layers) + " frames of " +
                                            std::to_string(most_px) + " px, got " + std::to_string(count_) + " of " +
                                            std::to_string(width_) + " x " + std::to_string(height_) + "; save the clip instead");
  }
  const double float_bytes = static_cast<double>(frames.rgb.size()) * 2;
  const bool bytes = float_bytes > 512e6;
  gl().glGenTextures(1, &id_);
  gl().glBindTexture(GL_TEXTURE_2D_ARRAY, id_);
  while (gl().glGetError() != GL_NO_ERROR) {
  }
  gl().glTexImage3D(GL_TEXTURE_2D_ARRAY, 0, bytes ? GL_RGB8 : GL_RGB16F, width_, height_, count_, 0, GL_RGB,
                    bytes ? GL_UNSIGNED_BYTE : GL_FLOAT, nullptr);
  if (gl().glGetError() == GL_OUT_OF_MEMORY) {
    gl().glDeleteTextures(1, &id_);
    id_ = 0;
    throw Error(ErrorKind::OutOfMemory, "expected room for " + std::to_string(static_cast<long>(float_bytes / 1e6)) +
                                            " MB of frames on the display device, got none; close other runs or save the clip");
  }
  gl().glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
  std::vector<unsigned char> scratch;
  for (int layer = 0; layer < count_; ++layer) upload_layer(frames, layer, bytes, scratch);
  gl().glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  gl().glGenerateMipmap(GL_TEXTURE_2D_ARRAY);
  gl().glTexParameteri(GL_TEXTURE_2D_ARRAY, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
  gl().glTexParameteri(GL_TEXTURE_2D_ARRAY, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
  gl().glTexParameteri(GL_TEXTURE_2D_ARRAY, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  gl().glTexParameteri(GL_TEXTURE_2D_ARRAY, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
  gl().glBindTexture(GL_TEXTURE_2D_ARRAY, 0);
}

FrameArray::~FrameArray() {
  if (id_ && functions()) functions()->glDeleteTextures(1, &id_);
}

void FrameArray::bind(int unit) const {
  gl().glActiveTexture(GL_TEXTURE0 + static_cast<unsigned>(unit));
  gl().glBindTexture(GL_TEXTURE_2D_ARRAY, id_);
}

Texture Texture::create(Kind kind, int width, int height, bool smooth) {
  int most_px = 0;
  gl().glGetIntegerv(GL_MAX_TEXTURE_SIZE, &most_px);
  Texture made;
  made.kind_ = kind;
  made.width_ = std::clamp(width, 1, most_px);
  made.height_ = std::clamp(height, 1, most_px);
  gl().glGenTextures(1, &made.id_);
  gl().glActiveTexture(GL_TEXTURE0);
  gl().glBindTexture(GL_TEXTURE_2D, made.id_);
  const bool colours = kind == Kind::Colours;
  gl().glTexImage2D(GL_TEXTURE_2D, 0, colours ? GL_RGBA8 : GL_R8, made.width_, made.height_, 0, colours ? GL_RGBA : GL_RED, GL_UNSIGNED_BYTE,
                    nullptr);
  const int filter = smooth ? GL_LINEAR : GL_NEAREST;
  gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, filter);
  gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, filter);
  gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
  if (!colours) {
    gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SWIZZLE_R, GL_ONE);
    gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SWIZZLE_G, GL_ONE);
    gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SWIZZLE_B, GL_ONE);
    gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SWIZZLE_A, GL_RED);
  }
  gl().glBindTexture(GL_TEXTURE_2D, 0);
  return made;
}

Texture::~Texture() {
  if (id_ && functions()) functions()->glDeleteTextures(1, &id_);
}

void Texture::upload(int x, int y, int width, int height, const std::uint8_t* pixels) const {
  gl().glActiveTexture(GL_TEXTURE0);
  gl().glBindTexture(GL_TEXTURE_2D, id_);
  gl().glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
  gl().glTexSubImage2D(GL_TEXTURE_2D, 0, x, y, width, height, kind_ == Kind::Colours ? GL_RGBA : GL_RED, GL_UNSIGNED_BYTE, pixels);
  gl().glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  gl().glBindTexture(GL_TEXTURE_2D, 0);
}

void Texture::make_mipmaps() const {
  gl().glActiveTexture(GL_TEXTURE0);
  gl().glBindTexture(GL_TEXTURE_2D, id_);
  gl().glGenerateMipmap(GL_TEXTURE_2D);
  gl().glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
  gl().glBindTexture(GL_TEXTURE_2D, 0);
}

VertexArray VertexArray::create() {
  VertexArray made;
  gl().glGenVertexArrays(1, &made.id_);
  return made;
}

VertexArray::~VertexArray() {
  if (id_ && functions()) functions()->glDeleteVertexArrays(1, &id_);
}

void VertexArray::draw_strip(int vertices) const {
  gl().glBindVertexArray(id_);
  gl().glDrawArrays(GL_TRIANGLE_STRIP, 0, vertices);
  gl().glBindVertexArray(0);
}

std::string context_description() {
  const auto text = [](unsigned name) {
    const auto* found = reinterpret_cast<const char*>(gl().glGetString(name));
    return std::string(found ? found : "");
  };
  return text(GL_VERSION) + ", " + text(GL_RENDERER);
}

bool is_software_renderer() {
  const std::string text = context_description();
  return text.find("llvmpipe") != std::string::npos || text.find("softpipe") != std::string::npos ||
         text.find("SWR") != std::string::npos;
}

void clear(float r, float g, float b) {
  gl().glClearColor(r, g, b, 1);
  gl().glClear(GL_COLOR_BUFFER_BIT);
}

void viewport(int width_px, int height_px) {
  gl().glViewport(0, 0, width_px, height_px);
}

}  // namespace ditscope::gl
