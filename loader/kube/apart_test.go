package kube

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// TestApartDecodesOnce has lists of tokens that are kept apart, several at a time: a version of an object is decoded once, and
// the next version again. An object that can't be decoded is left out.
func TestApartDecodesOnce(t *testing.T) {
	d := newDocuments()
	store := &Store{Source: &Source{documents: d, o: Options{Now: time.Now}}, index: policy.NewIndex()}
	put := func(name, spec string) {
		d.put(&ruleset.Object{Kind: "APIToken", Name: name, UID: name, Spec: []byte(spec)}, nil)
	}
	for i := range 100 {
		name := fmt.Sprintf("t%02d", i)
		put(name, `{"user":"alice","unrestricted":true,"secret":{"name":"`+name+`"}}`)
	}
	put("broken", `{"user":["alice"],"secret":{"name":"broken"}}`)
	lists := make([]map[string]tokens.Apart, 4)
	var all sync.WaitGroup
	for i := range lists {
		all.Go(func() { lists[i], _ = store.Apart(t.Context()) })
	}
	all.Wait()
	for _, list := range lists {
		if len(list) < 100 || list["t07"].Secret != "t07" || list["t07"].Document != lists[0]["t07"].Document {
			t.Errorf("%d tokens, %+v", len(list), list["t07"])
		}
	}
	put("t07", `{"user":"bob","unrestricted":true,"secret":{"name":"t07"}}`)
	if list, _ := store.Apart(t.Context()); list["t07"].Document.APIToken.User != "bob" || list["t08"].Document != lists[0]["t08"].Document {
		t.Errorf("after a change: %+v", list["t07"].Document.APIToken)
	}
}
