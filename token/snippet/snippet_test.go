package snippet_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/patgate/patgate/test/golden"
	"github.com/patgate/patgate/token/snippet"
)

// user and data have what a language could read as more than text.
const (
	user = `jürgen "o'neill" \n $HOME 😀`
	data = "{\n  \"body\": \"it's ‘good’ \\\\ \\n $HOME %s ü😀 <b> \u2028 \ufeff\"\n}\n"
)

// TestCode holds the code in every language against a golden file. For C# and PowerShell this is all that
// holds it: no runtime of theirs is at hand. TestSnippets in /test runs the others.
func TestCode(t *testing.T) {
	const myself, comment = "https://jira.example.com/rest/api/2/myself?expand=groups", "https://jira.example.com/rest/api/2/issue/JRA-1/comment"
	for _, language := range snippet.Languages() {
		for name, c := range map[string]snippet.Call{
			"basic":  {URL: myself, User: user},
			"bearer": {URL: myself, Bearer: true},
			"post":   {URL: comment, User: user, Data: data},
			"put":    {URL: comment, Bearer: true, Method: "PUT", Data: `{}`},
			"delete": {URL: comment, Bearer: true, Method: "DELETE"},
			"head":   {URL: comment, Bearer: true, Method: "HEAD"},
		} {
			got, err := c.Code(language)
			if err != nil {
				t.Fatal(err)
			}
			golden.File(t, filepath.Join("testdata", language+"-"+name+".txt"), got)
		}
	}
}

func TestCallsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		call snippet.Call
		want string
	}{
		{snippet.Call{URL: "/rest/", User: "alice"}, "expected an absolute one"},
		{snippet.Call{URL: "ftp://h/", User: "alice"}, "expected an absolute one"},
		{snippet.Call{URL: "https://alice:pw@h/", User: "alice"}, "holds a user"},
		{snippet.Call{URL: "https://h/#x", User: "alice"}, "fragment"},
		{snippet.Call{URL: "https://h/a|b", User: "alice"}, "percent-encoded"},
		{snippet.Call{URL: "https://h/`id`", User: "alice"}, "percent-encoded"},
		{snippet.Call{URL: "https://h/ä", User: "alice"}, "percent-encoded"},
		{snippet.Call{URL: "https://h/?x=%zz", User: "alice"}, "percent escape"},
		{snippet.Call{URL: "https://h/?x=100%", User: "alice"}, "percent escape"},
		{snippet.Call{URL: "https://h/[a]", User: "alice"}, "bracket"},
		{snippet.Call{URL: "https://h:99999/", User: "alice"}, "port"},
		{snippet.Call{URL: "https://h/a/../b", User: "alice"}, "dot segment"},
		{snippet.Call{URL: "https://h/a/%2e%2E", User: "alice"}, "dot segment"},
		{snippet.Call{URL: "https://h/"}, "the user is missing"},
		{snippet.Call{URL: "https://h/", User: "a:b"}, "colon"},
		{snippet.Call{URL: "https://h/", User: "a\nb"}, "control characters"},
		{snippet.Call{URL: "https://h/", User: "a\u2028b"}, "control characters"},
		{snippet.Call{URL: "https://h/", User: "a\xff"}, "UTF-8"},
		{snippet.Call{URL: "https://h/", Bearer: true, Method: "TRACE"}, "expected one of GET, HEAD, POST"},
		{snippet.Call{URL: "https://h/", Bearer: true, Method: "post"}, "expected one of GET, HEAD, POST"},
		{snippet.Call{URL: "https://h/", Bearer: true, Method: "GET", Data: "{}"}, "data with the method GET"},
		{snippet.Call{URL: "https://h/", Bearer: true, Method: "HEAD", Data: "{}"}, "data with the method HEAD"},
		{snippet.Call{URL: "https://h/", Bearer: true, Data: "a=b"}, "not JSON"},
		{snippet.Call{URL: "https://h/", Bearer: true, Data: "{} {}"}, "not JSON"},
		{snippet.Call{URL: "https://h/", Bearer: true, Data: "\"a\xff\""}, "not JSON"},
	} {
		if _, err := c.call.Code("curl"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.call, err)
		}
	}
	if _, err := (snippet.Call{URL: "https://h/", Bearer: true}).Code("perl"); !errors.Is(err, snippet.ErrLanguage) {
		t.Errorf("an unknown language: %v", err)
	}
}

// FuzzQuote checks that any name of a user is one text in the code, and
// nothing else: a shell and Go's own reader verify it.
func FuzzQuote(f *testing.F) {
	for _, user := range []string{"alice", `a'b`, `a"b\`, "$(id)", "`id`", `\u0022`, "jürgen"} {
		f.Add(user)
	}
	f.Fuzz(func(t *testing.T, user string) {
		c := snippet.Call{URL: "https://h/", User: user}
		shell, err := c.Code("curl")
		if err != nil {
			return
		}
		start := strings.Index(shell, "'%s:%s' ") + len("'%s:%s' ")
		word := shell[start:strings.LastIndex(shell, ` "$PATGATE_TOKEN" | base64`)]
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+word).Output()
		if err != nil || string(out) != user {
			t.Fatalf("%q: a shell reads %q in %s", user, out, word)
		}
		code, err := c.Code("go")
		if err != nil {
			t.Fatal(err)
		}
		start = strings.Index(code, "SetBasicAuth(") + len("SetBasicAuth(")
		word = code[start:strings.LastIndex(code, `, token)`)]
		if got, err := strconv.Unquote(word); err != nil || got != user {
			t.Fatalf("%q: Go reads %q in %s", user, got, word)
		}
	})
}
