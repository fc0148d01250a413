"""CoPrompt: MaPLe with adapters, held near a frozen CLIP."""
