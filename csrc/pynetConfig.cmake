# find_package(pynet) finds this file: target_link_libraries(program pynet::pynet), or pynet::static.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
if(NOT TARGET pynet::pynet)
    get_filename_component(_pynet_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
    add_library(pynet::pynet SHARED IMPORTED)
    set_target_properties(pynet::pynet PROPERTIES
        IMPORTED_LOCATION "${_pynet_prefix}/lib/libpynet.so.0"
        IMPORTED_SONAME libpynet.so.0
        INTERFACE_INCLUDE_DIRECTORIES "${_pynet_prefix}/include")
    add_library(pynet::static STATIC IMPORTED)
    set_target_properties(pynet::static PROPERTIES
        IMPORTED_LOCATION "${_pynet_prefix}/lib/libpynet.a"
        IMPORTED_LINK_INTERFACE_LANGUAGES C
        INTERFACE_LINK_LIBRARIES "m;Threads::Threads"
        INTERFACE_INCLUDE_DIRECTORIES "${_pynet_prefix}/include")
    unset(_pynet_prefix)
endif()
