package check_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/patgate/patgate/envoy"
)

// TestStatuses checks every status of Envoy, by its name and by its number, and numbers
// that are no status.
func TestStatuses(t *testing.T) {
	const refusal, success, neither, unknown = "for a refusal", "for a success", "do not learn", "istiod takes"
	byClass := map[int]string{1: neither, 2: success, 3: neither, 4: refusal, 5: ""}
	for number := 1; number < 700; number++ { // Envoy refuses 0
		name, known := typev3.StatusCode_name[int32(number)]
		want := unknown
		if known {
			want = byClass[number/100]
			wantStatus(t, name, strings.Replace(envoy.Standalone, "code: ServiceUnavailable", "code: "+name, 1), want)
		}
		wantStatus(t, strconv.Itoa(number), fmt.Sprintf(`pathNormalization: {normalization: MERGE_SLASHES}
extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a, port: 80, timeout: 0.5s, statusOnError: "%d"}}]
`, number), want)
	}
}

// wantStatus requires one finding with these words, or none.
func wantStatus(t *testing.T, status, text, want string) {
	t.Helper()
	list := found(t, "f", text, nil)
	if want == "" && len(list) > 0 || want != "" && (len(list) != 1 || !strings.Contains(list[0].Message, want)) {
		t.Errorf("%s: %v, want %q", status, list, want)
	}
}
