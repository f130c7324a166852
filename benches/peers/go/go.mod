module docache/peers

go 1.26.0

require (
	docache v0.0.0
	golang.org/x/sync v0.25.0
)

replace docache => ../../../go
