package kube

import (
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// TestDocumentsAreTheAcceptedObjects has objects of which one is at fault at a time.
func TestDocumentsAreTheAcceptedObjects(t *testing.T) {
	objects, index, d := ruleset.NewObjects(), policy.NewIndex(), newDocuments()
	objects.Track = true
	put := func(kind, name, spec string) {
		o := ruleset.Object{Kind: kind, Name: name, UID: name, Spec: []byte(spec)}
		objects.Set(o)
		d.put(&o, []byte(`{"patgate.dev/created-by":"root"}`))
	}
	step := func() *ruleset.Set {
		t.Helper()
		changes, _ := objects.Step(index, func() {})
		if _, err := index.Apply(changes, index.Snapshot().Revision().Loaded); err != nil {
			t.Fatal(err)
		}
		d.decide(objects)
		return d.current()
	}
	const digest = "sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8"
	d.current()
	put("Gate", "g", `{"schemes":["basic"]}`)
	put("APIToken", "ci", `{"user":"alice","digest":"`+digest+`","issued":"2026-05-01T00:00:00Z","limitTo":"[get]/a\n[get]/b\n"}`)
	set := step()
	if len(set.Gates) != 1 || len(set.Tokens) != 1 || len(set.Problems) > 0 || set.Tokens[0].Metadata.Annotations["patgate.dev/created-by"] != "root" {
		t.Fatalf("%v %v", set.Tokens, set.Problems)
	}
	data, _ := set.File("APIToken/ci")
	if !strings.Contains(string(data), "limitTo: |\n    [get]/a\n") {
		t.Errorf("%s", data)
	}
	put("APIToken", "cj", `{"user":"bob","digest":"`+strings.Replace(digest, "a2", "b2", 1)+`","issued":"2026-05-01T00:00:00Z","policies":["none"]}`)
	if set = step(); len(set.Tokens) != 1 || len(set.Problems) > 0 {
		t.Errorf("a token at fault: %v %v", set.Tokens, set.Problems)
	}
	put("APIToken", "ck", `{"user":"ck","unrestricted":true,"secret":{"name":"ck"}}`) // its values are not managed here
	if set = step(); len(set.Tokens) != 1 || len(set.Problems) > 0 {
		t.Errorf("a token with a secret: %v %v", set.Tokens, set.Problems)
	}
	if !d.isTaken("APIToken/cj") {
		t.Error("the name of a token that is not accepted is free")
	}
	put("APIToken", "robot", `{"user":"alice","secret":{"name":"robot"},"unrestricted":true}`)
	if set = step(); len(set.Tokens) != 1 || len(set.Problems) > 0 {
		t.Errorf("a token whose values a controller makes: %v %v", set.Tokens, set.Problems)
	}
	put("UserGroup", "staff", `{"members":["alice"],"tokens":{"maxLifetime":"365d"}}`)
	if set = step(); len(set.Groups) != 1 || len(set.Problems) > 0 {
		t.Errorf("a group: %v %v", set.Groups, set.Problems)
	}
	put("UserGroup", "staff", `{"members":["alice","bob"],"policies":["none"]}`)
	if set = step(); len(set.Groups) != 1 || len(set.Groups[0].UserGroup.Members) != 1 || len(set.Problems) > 0 {
		t.Errorf("a group that keeps its last good version: %v %v", set.Groups, set.Problems)
	}
	put("UserGroup", "new", `{"members":["carol"],"policies":["none"]}`)
	if set = step(); len(set.Problems) != 1 || !strings.Contains(set.Problems[0].Message, "limits") {
		t.Errorf("a group that never was accepted: %v", set.Problems)
	}
	objects.Delete("UserGroup/new")
	d.delete("UserGroup/new")
	put("UserGroup", "new", `{"members":["carol"]}`)
	if set = step(); len(set.Problems) != 0 || len(set.Groups) != 2 || len(set.Tokens) != 1 {
		t.Errorf("mended: %v", set.Problems)
	}
}
