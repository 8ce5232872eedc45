package diag

import "strings"

// maxListed is the maximum number of names in a message.
const maxListed = 30

// maxCompared is from how many letters on a name is compared with no others.
const maxCompared = 253

// Suggest says which of the right names was likely meant, or lists them all.
func Suggest(wrong string, right []string) string {
	best, distance := "", len(wrong)/3+1
	for _, name := range right {
		if longer := len(name) - len(wrong); longer > distance || -longer > distance || len(wrong) > maxCompared {
			continue
		}
		if d := editDistance(strings.ToLower(wrong), strings.ToLower(name)); d <= distance && (best == "" || d < distance) {
			best, distance = name, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	if len(right) > maxListed {
		return "expected one of " + strings.Join(right[:maxListed], ", ") + ", …"
	}
	return "expected one of " + strings.Join(right, ", ")
}

// editDistance counts the letters to insert, delete, replace or swap with the next
// (optimal string alignment).
func editDistance(a, b string) int {
	var space [3][maxCompared + 1]int
	if len(b) > maxCompared {
		return len(a) + len(b)
	}
	before, above, row := space[0][:len(b)+1], space[1][:len(b)+1], space[2][:len(b)+1]
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
