module docache

go 1.24
