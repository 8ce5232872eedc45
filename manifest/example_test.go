package manifest_test

import (
	"fmt"

	"github.com/patgate/patgate/manifest"
)

// Decode reads the documents of a file. A problem says where it is, what is wrong and what was expected.
func ExampleDecoder_Decode() {
	const text = `apiVersion: patgate.dev/v1alpha1
kind: TokenPolicy
metadata: {name: read}
spec:
  allow:
  - {methods: [GET], path: /rest/.*}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: office}
spec:
  membres: [alice]
`
	var decoder manifest.Decoder
	docs, problems := decoder.Decode("office.yaml", []byte(text))
	for _, d := range docs {
		fmt.Println(d.Kind, d.Metadata.Name.Text, "broken:", d.Broken())
	}
	for _, p := range problems {
		fmt.Println(p.String())
	}
	// Output:
	// TokenPolicy read broken: false
	// UserGroup office broken: true
	// office.yaml:12:3: spec.membres: unknown field, did you mean members?
	// office.yaml:12:3: spec.members: missing, expected a list
}
