//go:build race

package test

// raceFlag builds patgate as the tests are built: with the race detector.
const raceFlag = "-race"
