package manifest

import "reflect"

// conditions adds to a type what its fields must hold together: what checks.go asks of
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

// denies is what a deny rule must hold beside: without methods, one about a body would
// deny every request that has none.
var denies = &schema{If: with("json"), Then: with("methods")}

// owner wants a user, or any user and nothing that needs one.
func owner() *schema {
	anyUser := without("user", "logins", "actAs")
	anyUser.Properties = append(anyUser.Properties, property{"schemes", &schema{Contains: &schema{Const: "basic"}}})
	return &schema{If: isTrue("anyUser"), Then: anyUser, Else: with("user")}
}

// grants wants a token to be unrestricted, or rules that say what it may do.
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

// is wants a key to be there with this value.
func is(key string, value any) *schema {
	return &schema{Required: []string{key}, Properties: properties{{key, &schema{Const: value}}}}
}

func isTrue(key string) *schema { return is(key, true) }

// with wants a key.
func with(key string) *schema { return &schema{Required: []string{key}} }

// without wants none of the keys.
func without(keys ...string) *schema {
	s := &schema{}
	for _, key := range keys {
		s.Properties = append(s.Properties, property{key, nil})
	}
	return s
}
