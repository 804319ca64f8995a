#include "core/pipeline/generator.h"
