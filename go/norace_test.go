//go:build !race

package docache

const raceEnabled = false
