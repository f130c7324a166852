module app

go 1.24

require docache v0.0.0

replace docache => ../../go
