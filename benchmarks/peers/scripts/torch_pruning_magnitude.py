"""torch-pruning as in its own example: global magnitude, in one shot, a tenth of the channels; then recovery."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch_pruning as tp
import torchvision
from safetensors.torch import load_file
from torchvision.transforms import v2

given = Path(sys.argv[1])
job = json.loads((given / "job.json").read_text())
size = job["image_size"]
torch.manual_seed(0)
network = torchvision.models.mobilenet_v2(weights=None, num_classes=job["classes"])
network.load_state_dict(load_file(given / "network/model.safetensors"))
example = torch.zeros(1, 3, size, size)
pruner = tp.pruner.MagnitudePruner(
    network.eval(),
    example,
    importance=tp.importance.MagnitudeImportance(p=2),
    global_pruning=True,
    pruning_ratio=0.1,
    round_to=8,
    ignored_layers=[network.classifier[1]],
)
pruner.step()
print("MACs, parameters:", tp.utils.count_ops_and_params(network, example))

transform = v2.Compose(
    [
        v2.RandomResizedCrop(size, scale=(0.5, 1.0)),
        v2.RandomHorizontalFlip(),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
data = torchvision.datasets.ImageFolder(Path(job["data"]) / "train", transform)
loader = torch.utils.data.DataLoader(data, batch_size=job["batch_size"], shuffle=True, drop_last=True)
optimizer = torch.optim.AdamW(network.parameters(), lr=job["learning_rate"], weight_decay=0.05)
total = job["recovery_epochs"] * len(loader)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, job["learning_rate"], total_steps=total)
criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
validation = np.load(given / "validation.npz")


def accuracy():
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(part) for part in torch.from_numpy(validation["inputs"]).split(64)])
    return float((logits.argmax(1).numpy() == validation["labels"]).mean())


best, state = -1.0, {}
for _ in range(job["recovery_epochs"]):
    network.train()
    for images, labels in loader:
        optimizer.zero_grad()
        criterion(network(images), labels).backward()
        optimizer.step()
        schedule.step()
    now = accuracy()
    print(now)
    if now > best:
        best, state = now, {key: value.clone() for key, value in network.state_dict().items()}
network.load_state_dict(state)
torch.onnx.export(network.eval(), (example,), "engine.onnx", input_names=["image"], external_data=False)
