package extauthz

import (
	"errors"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patgate/patgate/policy"
)

// ParseRequest reads a CheckRequest in the JSON form of protobuf, as the server would read
// it from Envoy at that time. It returns an error for anything else; the error holds
// no part of the text, which may hold a credential.
func ParseRequest(json []byte, now time.Time) (*policy.Request, error) {
	in := &authv3.CheckRequest{}
	if err := protojson.Unmarshal(json, in); err != nil {
		return nil, errors.New("it is no JSON, or has fields that a CheckRequest does not have")
	}
	r := readRequest(in, now)
	return &r, nil
}
