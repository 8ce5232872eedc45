package diag

import "strings"

// maxListed is how many names a message lists.
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
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
