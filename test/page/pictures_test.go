package page

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// maxPicture is how large a picture of the docs may be.
const maxPicture = 60 << 10

// TestPictures takes the steps of docs/manage.md, and with -pictures its pictures.
func TestPictures(t *testing.T) {
	g := newRig(t)
	w := g.open(t, "alice", look{})
	taken := map[string][]byte{}
	take := func(name string, width, height int64) {
		t.Helper()
		w.do(chromedp.EmulateViewport(width, height))
		get[any](w, "scrollTo(0, 0)")
		ctx, cancel := context.WithTimeout(w.ctx, stepWithin)
		defer cancel()
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if taken[name] = small(t, picture); len(taken[name]) > maxPicture {
			t.Errorf("%s has %d bytes, want %d at most", name, len(taken[name]), maxPicture)
		}
	}
	w.visit("/")
	take("manage-list", 960, 620)
	w.press("New token")
	w.do(chromedp.EmulateViewport(1080, 800))
	w.write("name", "Dashboard")
	w.write("description", "Counts open issues")
	w.pick(`//input[@name="policy"][@value="read-issues"]`)
	w.awaits("GET /rest/api/2/issuex")
	take("manage-new", 1080, 800)
	w.press("Create token")
	value := get[string](w, `document.getElementById("value").textContent`)
	get[any](w, `document.getElementById("value").textContent = "patg_… (40 characters)"`) // no value is in a picture
	take("manage-value", 960, 600)
	for range 2 {
		if got := g.call("GET", "/rest/api/2/issue/JRA-1", value); got != 200 {
			t.Fatal(got)
		}
	}
	if got := g.call("GET", "/rest/api/2/project", value); got != 403 {
		t.Fatal(got)
	}
	w.visit("/tokens/dashboard")
	take("manage-token", 1080, 860)
	compare(t, taken)
}

var pictureLink = regexp.MustCompile(`\(images/(manage-[a-z]+)\.png\)`)

// compare checks that docs/manage.md shows each picture, and that each is there.
func compare(t *testing.T, taken map[string][]byte) {
	t.Helper()
	text, err := os.ReadFile("../../docs/manage.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, m := range pictureLink.FindAllStringSubmatch(string(text), -1) {
		shown[m[1]] = true
		if taken[m[1]] == nil {
			t.Errorf("docs/manage.md shows %s, which no step takes", m[1])
		}
	}
	for name, picture := range taken {
		path := filepath.Join("../../docs/images", name+".png")
		if *pictures != "" {
			if err := os.WriteFile(filepath.Join(*pictures, name+".png"), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if stored, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(stored), "\x89PNG") || len(stored) > maxPicture {
			t.Errorf("%s: %v, %d bytes: make test-page PICTURES=1 writes it", path, err, len(stored))
		}
		if !shown[name] {
			t.Errorf("docs/manage.md does not show %s", name)
		}
	}
}
