//go:build !race

package loader_test

// raced says that the race detector is on.
const raced = false
