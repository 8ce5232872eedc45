//go:build race

package loader_test

// memoryFactor is how much more memory the race detector takes, at least.
const memoryFactor = 3
