package manifest

// beyondSchema are the archives of testdata/bad that a schema can't refuse, by why.
var beyondSchema = map[string]string{
	"no YAML, or gone before a schema sees it: an editor's YAML parser reports it": `
		doc-alias-unknown doc-bad-indent doc-duplicate-key doc-not-utf8 doc-not-utf8-alone doc-not-yaml
		doc-not-yaml-is-named doc-second-broken-alone doc-tab rule-query-twice`,
	"anchors, aliases and tags: a schema sees the values that they stand for": `
		doc-alias doc-tag`,
	"needs the other manifests": `
		dir-no-gate name-twice test-name-twice gate-tie gate-tie-case gate-tie-default token-digest-twice
		gate-groups-dangling gate-groups-dangling-near gate-policies-dangling group-policies-dangling
		token-gates-dangling token-policies-dangling token-policy-of-another
		gate-clients-without-clientip group-bound-without-clientip token-clients-without-clientip
		token-any-user-bearer-gate token-schemes-none-in-common
		token-no-grant-deny-only token-unrestricted-and-policy`,
	"the name of the file determines which kinds belong in it": `
		test-kind`,
	"compares values of one manifest": `
		gate-header-act-as-upstream gate-header-folds gate-header-twice token-digest-previous-twice
		token-expires-before token-previous-ends-early`,
	"the size of a compiled pattern": `
		level-act-as level-anonymous level-gate level-group level-token`,
	"arithmetic of addresses": `
		gate-cidr-host-bits gate-cidr-mapped-too-wide`,
	"a header's name in capitals: a schema compares letters as they are": `
		gate-header-reserved`,
	"the syntax of RE2, which no schema knows": `
		rule-query-regex-bad rule-regex-bad rule-regex-escapes-its-group rule-regex-large
		rule-regex-lookahead rule-mcp-regex-bad token-act-as-bad`,
	"content types that some server takes for a form": `
		rule-content-types-form`,
	"the paths of JSON nodes, which have a syntax of their own": `
		rule-json-node-bad rule-json-pointer-bad`,
	"the one-line form, which is a language of its own": `
		line-66 line-class-first line-fragment line-json-nine line-query-nine line-group-no-name line-group-no-value line-group-open
		line-group-regex-bad line-group-text-after line-host line-methods-open line-no-path line-node-bad
		line-placeholder line-query line-regex-bad line-unknown-group line-mcp-case line-mcp-list line-mcp-nine line-mcp-no-value
		line-mcp-regex-bad`,
}
