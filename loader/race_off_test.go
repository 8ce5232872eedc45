//go:build !race

package loader_test

// memoryFactor is 1 without the race detector.
const memoryFactor = 1
