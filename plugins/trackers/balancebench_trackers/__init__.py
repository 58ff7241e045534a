"""balancebench-trackers: runs of balancebench, followed in TensorBoard, MLflow and Weights & Biases."""
