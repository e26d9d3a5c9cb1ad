"""A client that goes on through rotations: on key_rotated it reads its key again."""

import json
import os
import urllib.error
import urllib.request

KEY_FILE = os.environ["TALLYROUTE_KEY_FILE"]  # where the sink writes the key
BASE_URL = os.environ.get("TALLYROUTE_BASE_URL", "http://127.0.0.1:8080/v1")


def read_key():
    with open(KEY_FILE, encoding="utf-8") as file:
        return file.read().strip()


key = read_key()


def chat(body, again=True):
    global key
    request = urllib.request.Request(
        BASE_URL + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + key, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as failure:
        error = json.load(failure)["error"]
        if again and failure.code == 401 and error["code"] == "key_rotated":
            key = read_key()
            return chat(body, again=False)
        raise RuntimeError(error["message"]) from failure


if __name__ == "__main__":
    for _ in range(2):
        input()  # one line, one question
        print(chat({"model": "echo", "messages": [{"role": "user", "content": "Hello!"}]})["choices"][0]["message"]["content"], flush=True)
