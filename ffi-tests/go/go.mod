module docache/ffi-tests

go 1.24
