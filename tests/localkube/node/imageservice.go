package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// imageService implements the CRI's side of images over the mapping file: a mapped image is there, no other is, and
// pulling one fails as it does with a registry that does not have it.
type imageService struct{ runtime *Runtime }

func imageID(name string) string {
	sum := sha256.Sum256([]byte(withTag(name)))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s imageService) describe(name string, image Image) *runtimeapi.Image {
	uid := &runtimeapi.Int64Value{Value: s.runtime.imageUser(image)}
	return &runtimeapi.Image{
		Id: imageID(name), RepoTags: []string{withTag(name)}, Size: 1, Uid: uid, Spec: &runtimeapi.ImageSpec{Image: withTag(name)},
	}
}

func (s imageService) ListImages(context.Context, *runtimeapi.ImageFilter) ([]*runtimeapi.Image, error) {
	mapping, _, err := s.runtime.images.load()
	if err != nil {
		return nil, nil // the kubelet's garbage collection need not hear of it; a pull does
	}
	var list []*runtimeapi.Image
	for name, image := range mapping.Images {
		list = append(list, s.describe(name, image))
	}
	return list, nil
}

func (s imageService) ImageStatus(_ context.Context, spec *runtimeapi.ImageSpec, _ bool) (*runtimeapi.ImageStatusResponse, error) {
	mapping, _, err := s.runtime.images.load()
	if err != nil {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	if name, image, ok := mapping.lookup(spec.GetImage()); ok {
		return &runtimeapi.ImageStatusResponse{Image: s.describe(name, image)}, nil
	}
	return &runtimeapi.ImageStatusResponse{}, nil
}

func (s imageService) PullImage(_ context.Context, spec *runtimeapi.ImageSpec, _ *runtimeapi.AuthConfig, _ *runtimeapi.PodSandboxConfig) (string, error) {
	if _, err := s.runtime.images.find(spec.GetImage()); err != nil {
		return "", err
	}
	return imageID(spec.GetImage()), nil
}

func (imageService) RemoveImage(context.Context, *runtimeapi.ImageSpec) error { return nil }

func (imageService) ImageFsInfo(context.Context) (*runtimeapi.ImageFsInfoResponse, error) {
	return &runtimeapi.ImageFsInfoResponse{}, nil
}

func (imageService) Close(context.Context) error { return nil }
