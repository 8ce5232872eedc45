//go:build !race

package test

// raceFlag builds patgate as the tests are built: without the race detector, which
// needs a C compiler.
const raceFlag = "-race=false"
