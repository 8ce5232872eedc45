package lookalikes

import (
	"fmt"
	"strings"
)

// queryNames are spellings of a name that some parser reads as the name itself. %s is
// the name; each is sent with a value that the rule does not allow.
var queryNames = []struct{ pattern, fault string }{
	{"%s", ""}, {"%s]", "A3a"}, {"[%s]", "A3a"}, {"[%s", "A3a"}, {"]%s", "A3a"}, {"%s[", ""}, {"%s[]", ""}, {"%s[0]", ""}, {"%s[x]", ""}, {"%s[$ne]", ""},
	{"%s%%5B%%5D", ""}, {"%s%%5D", ""}, {"%%5B%s%%5D", ""}, {"%s%%00", ""}, {"%s%%00x", ""}, {"%%00%s", ""}, {"+%s", ""}, {"%%20%s", ""}, {"%s+", ""},
	{"%s%%20", ""}, {"%%09%s", ""}, {"%s%%0A", ""}, {"%s%%0D", ""}, {"%%EF%%BB%%BF%s", ""}, {".%s", ""}, {"%s.", ""}, {"x[%s]", ""}, {"%s.x", ""},
	{";%s", ""}, {"a;%s", ""}, {"?%s", ""}, {"%%3F%s", ""}, {"&%s", ""}, {"amp;%s", ""}, {"%s%%FF", ""}, {"%%u0066%s", ""}, {"%s%%", ""}, {"%s%%zz", ""}, {"%s:", ""},
	{"%s-", ""}, {"_%s", ""}, {"$%s", ""}, {"\"%s\"", ""}, {"%s#", ""}, {"%s\u00AD", ""}, {"%s\uFF3D", ""}, {"]]%s", ""}, {"[[%s]]", ""}, {"%s][", ""}, {"%s[]]", ""},
}

func namedQueries() (list []Request) {
	for _, n := range queryNames {
		name := fmt.Sprintf(n.pattern, "from")
		fields := "from=2018-01-01&" + name + "=1999-01-01"
		list = append(list, plain("query", "query-allow").with(target("/rest/x?"+fields), found(n.fault), named("`?"+fields+"`")))
		name = fmt.Sprintf(n.pattern, "admin")
		list = append(list, plain("query", "query-deny").with(query(name+"=true"), aside, named("`?"+name+"=true`")))
	}
	for _, name := range []string{"From", "FROM", "fro%6D", "%66rom", "fr%C3%B6m", "from_", "from2"} {
		fields := "from=2018-01-01&" + name + "=1999-01-01"
		list = append(list, plain("query", "query-allow").with(target("/rest/x?"+fields), named("`?"+fields+"`")))
	}
	for _, name := range []string{"date.from", "date+from", "date%20from", "date[from", "date_from%00x", "date-from", "dateFrom", "date__from", "date_from[",
		"date]from", "date[from]", "+date_from", "date.from[", "date%5Bfrom", "date%2Efrom", "date%2Bfrom"} {
		fault := ""
		if strings.HasPrefix(name, "date.from") || strings.HasPrefix(name, "date+from") || name == "date[from" || name == "date_from%00x" || name == "date%20from" {
			fault = "A3c"
		}
		fields := "date_from=2018-01-01&" + name + "=1999-01-01"
		list = append(list, plain("query", "query-allow-2").with(target("/rest/x?"+fields), found(fault), named("`?"+fields+"`")))
	}
	q := plain("query", "query-allow")
	for _, n := range []int{1, 998, 999, 1000, 1001} {
		fault := ""
		if n == 1000 {
			fault = "A3d"
		}
		list = append(list, q.with(target("/rest/x?"+strings.Repeat("&", n)+"from=2018-01-01"), found(fault), named(fmt.Sprintf("`?` + %d x `&` + `from=2018-01-01`", n))),
			q.with(target("/rest/x?"+strings.Repeat("a=1&", n)+"from=2018-01-01"), named(fmt.Sprintf("`?` + %d x `a=1&` + `from=2018-01-01`", n))))
	}
	d := plain("query", "query-deny")
	return append(list,
		q.with(target("/rest/x?from=1999-01-01&from=2018-01-01"), named("`?from=1999-01-01&from=2018-01-01`")),
		q.with(target("/rest/x?from=2018-01-01&from=2018-02-02"), named("`?from=2018-01-01&from=2018-02-02`")),
		q.with(target("/rest/x?from=2018-01-01%00"), named("`?from=2018-01-01%00`")),
		q.with(target("/rest/x?from=2018-01-01%0A"), named("`?from=2018-01-01%0A`")),
		q.with(target("/rest/x?from=2018-01-01;from=1999-01-01"), named("`?from=2018-01-01;from=1999-01-01`")),
		q.with(target("/rest/x?from"), named("`?from`")),
		d.with(query("admin]=true"), found("A3a"), named("`?a=1&admin]=true`"), target("/rest/x?a=1&admin]=true")),
		d.with(query("admin=0&admin=1"), named("`?admin=0&admin=1`")),
		d.with(query("admin=%31"), named("`?admin=%31`")),
		d.with(query("admin=+1"), named("`?admin=+1`")))
}
