"""What the studio knows: pictures, splits, backbones, plans, runs. Free of torch and Qt."""
