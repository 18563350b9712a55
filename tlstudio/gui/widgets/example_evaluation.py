"""A small made-up evaluation for the previews of the widgets that show one."""

from __future__ import annotations

from tlstudio.core.results import ClassScore, Evaluation, Prediction


def example_evaluation() -> Evaluation:
    """Return 20 pictures of three classes, 4 of them wrong."""
    classes = ("break", "crack", "free")
    confusion = ((5, 2, 0), (1, 4, 0), (0, 1, 7))
    predictions = [
        Prediction(
            path=f"{classes[i]}-{j}-{number}.png",
            class_=classes[j],
            probability=0.9 - 0.05 * number,
            probabilities=tuple(0.9 - 0.05 * number if k == j else 0.05 + 0.025 * number for k in range(3)),
            truth=classes[i],
        )
        for i in range(3)
        for j in range(3)
        for number in range(confusion[i][j])
    ]
    return Evaluation(
        part="val", images=20, accuracy=0.8, accuracy_interval=(0.584, 0.919), balanced_accuracy=0.7964,
        macro_f1=0.7869, nll=0.61, ece=0.08, classes=classes, confusion=confusion,
        per_class=(
            ClassScore(class_="break", precision=5 / 6, recall=5 / 7, f1=10 / 13, support=7),
            ClassScore(class_="crack", precision=4 / 7, recall=4 / 5, f1=2 / 3, support=5),
            ClassScore(class_="free", precision=1.0, recall=7 / 8, f1=14 / 15, support=8),
        ),
        predictions=tuple(predictions),
    )  # fmt: skip
