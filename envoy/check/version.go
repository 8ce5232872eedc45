package check

import (
	"fmt"
	"regexp"
	"strconv"
)

// image matches the name of an Envoy image with its tag, as in envoyproxy/envoy:v1.40.0 or
// envoyproxy/envoy:distroless-v1.40.0. Others only begin with envoy.
var image = regexp.MustCompile(`(?:^|/)envoy(?:-(?:dev|alpine|distroless|contrib|debug|google-vrp|tools|windows(?:-[a-z0-9]+)?))*(?::([^@\s]+))?(@sha256:[0-9a-f]+)?$`)

// otherImage matches images that hold an Envoy and number themselves.
var otherImage = regexp.MustCompile(`(?:^|/)(proxyv2(?:-[a-z0-9]+)*|aws-appmesh-envoy|cilium-envoy|gloo-envoy-wrapper|envoy-gloo|kuma-dp|consul-dataplane)(?:[:@]\S+)?$`)

var versionNumber = regexp.MustCompile(`v?(\d+)\.(\d+)(?:\.(\d+))?`)

// nodeVersion checks the version that an Envoy says in its node.
func (c *checker) nodeVersion(n *node) {
	if v := n.get("user_agent_build_version", "version"); v != nil {
		major, _ := v.get("major_number").number()
		minor, _ := v.get("minor_number").number()
		patch, _ := v.get("patch").number()
		c.version(v.spot(), int(major), int(minor), int(patch))
		return
	}
	if v := n.get("user_agent_version"); v != nil {
		c.versionText(v.spot(), v.str())
	}
}

// imageVersion checks an image, if it is one of Envoy.
func (c *checker) imageVersion(n *node) {
	if m := otherImage.FindStringSubmatch(n.str()); m != nil {
		c.judged++
		c.find(UnknownVersion, n.spot(), "%s contains an Envoy, and its tag does not name the version", m[1])
		return
	}
	m := image.FindStringSubmatch(n.str())
	if m == nil {
		return
	}
	c.judged++
	if m[1] == "" && m[2] != "" {
		c.find(UnknownVersion, n.spot(), "a digest does not name Envoy's version")
		return
	}
	c.versionText(n.spot(), m[1])
}

func (c *checker) versionText(at spot, text string) {
	m := versionNumber.FindStringSubmatch(text)
	if m == nil {
		c.find(UnknownVersion, at, "%q does not name Envoy's version", text)
		return
	}
	var numbers [3]int
	for i := range numbers {
		numbers[i], _ = strconv.Atoi(m[i+1]) // absent: the first of them
	}
	c.version(at, numbers[0], numbers[1], numbers[2])
}

// version checks a version: 1.38.4 has the fixes that the gate relies on, 1.39 has them not.
func (c *checker) version(at spot, major, minor, patch int) {
	text := fmt.Sprintf("%d.%d.%d", major, minor, patch)
	switch {
	case major > 1, major == 1 && minor >= 40:
	case major == 1 && minor == 38 && patch >= 4:
		c.find(OlderVersion, at, "Envoy %s has the fixes that matter; this project's tests run with 1.40", text)
	default:
		c.find(OldVersion, at, "Envoy %s reads some paths in one way and forwards them in another (`..;`), and has known flaws in ext_authz", text)
	}
}
