package check

import "strings"

// overriding checks a SecurityPolicy without extAuth: where it is for a route, or for one
// listener of a Gateway, it takes the place of the one at the Gateway.
func (c *checker) overriding(doc *node) {
	spec := doc.get("spec")
	if len(c.kube.security) == 0 || spec.get("merge_type") != nil {
		return
	}
	for _, ref := range targetRefs(spec) {
		c.overridingTarget(namespace(doc), ref)
	}
	for _, selector := range spec.get("target_selectors").elements() {
		switch kind := selector.get("kind").str(); {
		case strings.HasSuffix(kind, "Route"):
			c.find(RouteUnchecked, selector.spot(), "it has no extAuth and no mergeType, so it replaces the Gateway's policy: requests of each %s that it selects bypass patgate", kind)
		default:
			c.find(PolicyConflict, selector.spot(), "a policy without extAuth may select the same %s as one with extAuth: only the older one applies to a target", kind)
		}
	}
}

// overridingTarget checks one target of a policy without extAuth.
func (c *checker) overridingTarget(space string, ref *node) {
	kind, name := ref.get("kind").str(), ref.get("name").str()
	section := ref.get("section_name").str()
	switch {
	case strings.HasSuffix(kind, "Route"):
		c.find(RouteUnchecked, ref.spot(), "it has no extAuth and no mergeType, so it replaces the Gateway's policy: requests of %s %s bypass patgate", kind, name)
	case strings.HasSuffix(kind, "ListenerSet"):
		c.find(PolicyConflict, ref.spot(), "a policy without extAuth for %s %s may replace the Gateway's policy: its requests may bypass patgate", kind, name)
	case kind == "Gateway" && section != "" && c.guards(space, name, section) == whole:
		c.find(RouteUnchecked, ref.spot(), "it has no extAuth, and replaces the Gateway's policy for the listener %s: its requests bypass patgate", section)
	case kind == "Gateway" && c.guards(space, name, section) != nothing:
		c.find(PolicyConflict, ref.spot(), "another policy, with extAuth, has the same target in Gateway %s: Envoy Gateway applies only the older one", name)
	}
}

// coverage is the set of routes that a policy with extAuth applies to.
type coverage uint8

const (
	nothing coverage = iota
	same             // the very listener, or the very Gateway
	whole            // the Gateway of a listener
)

// guards reports what a policy with extAuth is for, of a Gateway or one of its listeners.
func (c *checker) guards(space, name, section string) coverage {
	found := nothing
	for _, doc := range c.kube.security {
		if namespace(doc) != space {
			continue
		}
		for _, ref := range targetRefs(doc.get("spec")) {
			if ref.get("kind").str() != "Gateway" || ref.get("name").str() != name {
				continue
			}
			switch ref.get("section_name").str() {
			case section:
				return same
			case "":
				found = whole
			}
		}
		for _, selector := range doc.get("spec", "target_selectors").elements() {
			switch {
			case selector.get("kind").str() != "Gateway" || found != nothing:
			case section == "":
				found = same
			default:
				found = whole
			}
		}
	}
	return found
}

// targetRefs lists the targets that a policy names.
func targetRefs(spec *node) []*node {
	refs := spec.get("target_refs").elements()
	if ref := spec.get("target_ref"); ref != nil {
		refs = append(refs[:len(refs):len(refs)], ref)
	}
	return refs
}

func namespace(doc *node) string {
	if n := doc.get("metadata", "namespace").str(); n != "" {
		return n
	}
	return "default"
}
