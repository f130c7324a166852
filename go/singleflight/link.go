package singleflight

import _ "docache/internal/clib" // links the C library; without cgo it says what to do
