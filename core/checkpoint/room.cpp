#include "core/checkpoint/weight_source.h"
