"""Train the classifier of this sample and write it to outputs/model/iris.pkl beside this file."""

from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

MODEL_FILE = Path(__file__).parent / "outputs" / "model" / "iris.pkl"


def main() -> None:
    iris = load_iris()
    species = iris.target_names[iris.target]  # trained on names, so that predict() answers with names
    model = LogisticRegression(max_iter=1000).fit(iris.data, species)
    MODEL_FILE.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, MODEL_FILE)
    print(f"wrote {MODEL_FILE}")


if __name__ == "__main__":
    main()
