// This file lets newborn_linux.go declare functions of the Go runtime without a body.
