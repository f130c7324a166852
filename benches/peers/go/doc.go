// Package peers measures docache beside other Go modules. It is a module of its own so that
// docache's depends on none of them.
package peers
