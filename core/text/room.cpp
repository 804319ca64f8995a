#include "core/text/token_ids.h"
