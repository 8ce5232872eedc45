package manifest

import "reflect"

// conditions adds to a type what its fields must hold together: what checks.go checks in
// one document.
func conditions(s *schema, t reflect.Type) {
	switch t {
	case reflect.TypeFor[Anonymous]():
		*s = s.when(isTrue("unrestricted"), without("allow"), with("allow"))
	case reflect.TypeFor[ClientIP]():
		s.Required = []string{"source"}
		s.AllOf = []*schema{
			{If: is("source", "header"), Then: with("header"), Else: without("header")},
			{If: is("source", "xff"), Else: without("trustedHops")},
		}
	case reflect.TypeFor[APIToken]():
		canary := &schema{Names: &schema{Enum: []string{"canary", "digest", "issued"}}}
		*s = s.when(isTrue("canary"), canary, &schema{AllOf: []*schema{owner(), grants()}})
	case reflect.TypeFor[TokenPolicy]():
		s.AnyOf = []*schema{with("allow"), with("deny")}
	case reflect.TypeFor[Rule]():
		for _, p := range s.Properties {
			if p.key != "name" && p.key != "contentTypes" {
				s.AnyOf = append(s.AnyOf, with(p.key))
			}
		}
		s.If, s.Then = with("contentTypes"), with("json")
	}
}

// denies is an additional condition of deny rules: without methods, a rule on the body would
// deny every request that has none.
var denies = &schema{If: &schema{AnyOf: []*schema{with("json"), with("mcp")}}, Then: with("methods")}

// owner requires a user, or anyUser and no field that needs a user.
func owner() *schema {
	anyUser := without("user", "logins", "actAs")
	anyUser.Properties = append(anyUser.Properties, property{"schemes", &schema{Contains: &schema{Const: "basic"}}})
	return &schema{If: isTrue("anyUser"), Then: anyUser, Else: with("user")}
}

// grants requires `unrestricted`, or rules.
func grants() *schema {
	policies := with("policies")
	policies.Properties = properties{{"policies", &schema{MinItems: 1}}}
	return &schema{
		If:   isTrue("unrestricted"),
		Then: without("allow", "limitTo"),
		Else: &schema{AnyOf: []*schema{with("allow"), with("limitTo"), policies}},
	}
}

// when adds a condition to a schema.
func (s schema) when(condition, then, otherwise *schema) schema {
	s.If, s.Then, s.Else = condition, then, otherwise
	return s
}

// is requires a key with this value.
func is(key string, value any) *schema {
	return &schema{Required: []string{key}, Properties: properties{{key, &schema{Const: value}}}}
}

func isTrue(key string) *schema { return is(key, true) }

// with requires a key.
func with(key string) *schema { return &schema{Required: []string{key}} }

// without forbids the keys.
func without(keys ...string) *schema {
	s := &schema{}
	for _, key := range keys {
		s.Properties = append(s.Properties, property{key, nil})
	}
	return s
}
