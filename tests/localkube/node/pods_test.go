package node

import (
	v1 "k8s.io/api/core/v1"
)

func podWithUsers() *v1.Pod {
	uid, yes := int64(65532), true
	return &v1.Pod{Spec: v1.PodSpec{
		SecurityContext: &v1.PodSecurityContext{RunAsUser: &uid, FSGroup: &uid, RunAsNonRoot: &yes},
		Containers:      []v1.Container{{SecurityContext: &v1.SecurityContext{RunAsUser: &uid}}},
	}}
}
