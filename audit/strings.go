package audit

import "encoding/json"

// Strings is a list of texts in JSON, which may also be written as one text.
type Strings []string

// UnmarshalJSON implements json.Unmarshaler. Anything but a text or a list of texts is an error.
func (s *Strings) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var one string
		if err := json.Unmarshal(data, &one); err != nil {
			return err
		}
		*s = Strings{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}
