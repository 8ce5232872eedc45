package diag

import "fmt"

// maxEqual is the maximum number of problems with the same message that are shown one by one.
const maxEqual = 10

// Folded returns the text of each problem, but of those with the same code and message only the first ones and how
// many more there are: one renamed policy may be missed by thousands of tokens, which would hide the rest.
func Folded(problems []Problem) []string {
	type key struct {
		code           Code
		field, message string
	}
	var list []string
	var order []key
	seen := map[key]int{}
	for _, p := range problems {
		k := key{p.Code, p.Field, p.Message}
		if seen[k]++; seen[k] <= maxEqual {
			list = append(list, p.String())
		} else if seen[k] == maxEqual+1 {
			order = append(order, k)
		}
	}
	for _, k := range order {
		what := Problem{Field: k.field, Message: k.message}.text()
		list = append(list, fmt.Sprintf("and %d more places: %s (-o json has all)", seen[k]-maxEqual, what))
	}
	return list
}
