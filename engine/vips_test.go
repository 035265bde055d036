package engine

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"skein/vip"
	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// fill gives everything below v a value that is not zero and, for numbers and text, found nowhere else.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 22, 12, 0, *n, 0, time.UTC)))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, byte(*n >> 8), byte(*n)})))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(*n >> 8), byte(*n)}), 24)))
		return
	case time.Duration:
		v.SetInt(int64(time.Duration(*n) * time.Second))
		return
	case vrrp.State:
		v.SetString(string(vrrp.Master))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, n)
		v.SetMapIndex(reflect.ValueOf(string(vrrp.Master)).Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString("text " + time.Duration(*n).String())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(100 + *n%100))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Int:
		v.SetInt(int64(*n))
	default:
		panic(v.Type())
	}
}

// Nothing that vip knows is lost on the way to the administrator: whatever is not zero there is not zero here.
func TestVIPsTellAll(t *testing.T) {
	var s vip.Status
	n := 1000
	fill(reflect.ValueOf(&s).Elem(), &n)
	s.VIPs[0].Handovers = map[string]uint64{vip.HandoverCut: 7}
	got := vipsOf(s)
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var zero func(v reflect.Value, at string)
	zero = func(v reflect.Value, at string) {
		switch {
		case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() && v.Type() != reflect.TypeFor[netip.Addr]() && v.Type() != reflect.TypeFor[netip.Prefix]():
			for i := range v.NumField() {
				zero(v.Field(i), at+"."+v.Type().Field(i).Name)
			}
		case v.Kind() == reflect.Pointer && !v.IsNil():
			zero(v.Elem(), at)
		case v.Kind() == reflect.Slice && v.Len() > 0:
			zero(v.Index(0), at)
		case v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0:
			t.Errorf("%s is lost in %s", at, b)
		}
	}
	zero(reflect.ValueOf(got), "VIPs")
	v := got.VIPs[0]
	if v.Handovers["cut"] != 7 || v.Handovers["clean"] != 0 || len(v.Handovers) != 4 || v.Families[0].Became["fault"] != 0 || len(v.Families[0].Became) != 3 {
		t.Errorf("counters = %v, %v", v.Handovers, v.Families[0].Became)
	}
}

// What is empty is [] or {} in JSON, for those who read it with a program, and a node without vips has nothing at all.
func TestVIPsEmpty(t *testing.T) {
	b, err := json.Marshal(vipsOf(vip.Status{VIPs: []vip.VIPStatus{{Fitness: speaker.Fit, Families: []vip.FamilyStatus{{}}}}}))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "null") {
		t.Errorf("JSON = %s", b)
	}
	if got := vipsOf(vip.Status{}); got.VIPs != nil || got.Speaker != nil {
		t.Errorf("without vips: %+v", got)
	}
}
