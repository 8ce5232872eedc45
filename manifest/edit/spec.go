package edit

// Spec returns the spec of the named token as it is written: texts, numbers, lists and maps. A time
// is a time.Time.
func Spec(file string, data []byte, name string) (map[string]any, error) {
	e, err := openToken(file, data, name)
	if err != nil {
		return nil, err
	}
	var spec map[string]any
	return spec, e.spec.Decode(&spec)
}
