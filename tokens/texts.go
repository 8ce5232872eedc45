package tokens

import (
	"fmt"
	"time"
)

// DistanceText writes how far a time is from now, in the largest unit that is not 0.
func DistanceText(t, now time.Time) string {
	d := t.Sub(now)
	text, ago := "", d < 0
	if ago {
		d = -d
	}
	switch {
	case d >= 48*time.Hour:
		text = fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		text = fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		text = fmt.Sprintf("%dm", d/time.Minute)
	default:
		text = fmt.Sprintf("%ds", d/time.Second)
	}
	if ago {
		return text + " ago"
	}
	return "in " + text
}

// instant is a time for a program; nil where there is none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// capText writes what a group's cap is.
func capText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return LifetimeText(d)
}
