/* TARGET_BEGIN("avx2,fma") ... TARGET_END: the functions between them may use these instructions; no compiler flag is
   needed. GCC and Clang each ignore the other's pragma. */
#ifndef PN_TARGET_H
#define PN_TARGET_H

#define PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define TARGET_BEGIN(list) PRAGMA(clang attribute push(__attribute__((target(list))), apply_to = function))
#define TARGET_END PRAGMA(clang attribute pop)
#else
#define TARGET_BEGIN(list) PRAGMA(GCC push_options) PRAGMA(GCC target(list))
#define TARGET_END PRAGMA(GCC pop_options)
#endif

#endif
