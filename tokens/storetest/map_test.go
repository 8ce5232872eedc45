package storetest_test

import (
	"testing"

	"github.com/patgate/patgate/tokens/storetest"
)

func TestMap(t *testing.T) {
	storetest.Run(t, func(*testing.T) (storetest.Store, func(name, text string)) {
		m := new(storetest.Map)
		return m, m.Put
	})
}
