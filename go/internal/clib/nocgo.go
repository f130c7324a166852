//go:build !cgo

package clib

// Nothing of this module works without cgo. The name is the message: the compiler says that it is
// undefined.
var _ = docache_needs_cgo__set_CGO_ENABLED_to_1_and_CC_to_a_C_compiler_for_this_platform__and_run__cargo_xtask_go_lib
