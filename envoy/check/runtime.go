package check

import "strings"

// setting is one key of a static layer of the runtime, its parts divided by dots.
type setting struct {
	key   string
	value *node
}

// static returns what the static layers of an Envoy's runtime set. Keys may be written
// as one text or as mappings within mappings.
func static(bootstrap *node) (list []setting) {
	var add func(prefix string, n *node)
	add = func(prefix string, n *node) {
		for _, f := range n.entries() {
			switch {
			case f.value == nil:
			case f.value.kind == mapping:
				add(prefix+f.name+".", f.value)
			default:
				list = append(list, setting{prefix + f.name, f.value})
			}
		}
	}
	for _, layer := range bootstrap.get("layered_runtime", "layers").elements() {
		add("", layer.get("static_layer"))
	}
	return list
}

// runtime checks what the runtime sets whatever the filters are.
func (c *checker) runtime(bootstrap *node) {
	for _, s := range static(bootstrap) {
		guard := strings.HasPrefix(s.key, "envoy.reloadable_features.") || strings.HasPrefix(s.key, "envoy.restart_features.")
		if guard && !s.value.isTrue() {
			c.find(RuntimeGuard, s.value.spot(), "is %s: it turns a fix of Envoy off", s.value.str())
		}
	}
}

// changedRuntime checks layers of the runtime that change while Envoy runs: they hold the
// keys that switch a filter off. An Envoy without layers has none that do.
func (c *checker) changedRuntime(bootstrap *node, filters bool) {
	for _, layer := range bootstrap.get("layered_runtime", "layers").elements() {
		switch n := layer.get("admin_layer"); {
		case n != nil && canModify(bootstrap.get("admin")):
			c.find(RuntimeOpen, n.spot(), adminLayer)
		case layer.get("rtds_layer") != nil && filters:
			c.find(NotSeen, layer.get("rtds_layer").spot(), "the runtime is not in these files (RTDS)")
		case layer.get("disk_layer") != nil && filters:
			c.find(NotSeen, layer.get("disk_layer").spot(), "the runtime comes from a directory that is not read")
		}
	}
}

// adminLayer is said of a layer of the runtime that the admin changes.
const adminLayer = "is set: everyone who reaches the admin interface can change the runtime, and so switch patgate's check off"

// canModify reports whether an admin serves /runtime_modify.
func canModify(admin *node) bool {
	if admin.get("address") == nil {
		return false
	}
	paths := admin.get("allow_paths").elements()
	for _, p := range paths {
		if matches(p, "/runtime_modify") {
			return true
		}
	}
	return len(paths) == 0
}

// switchedOff looks for a key of the runtime that turns deny_at_disable of a filter off.
func (c *checker) switchedOff(a *authz) {
	key := a.body.get("deny_at_disable", "runtime_key").str()
	for _, s := range static(a.scope.bootstrap) {
		if s.key == key && !s.value.isTrue() {
			c.find(DenyAtDisable, s.value.spot(), "the runtime sets it to %s: if the filter is off, requests pass", s.value.str())
		}
	}
}
