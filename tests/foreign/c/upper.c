/* Writes standard input to standard output, in upper case. An empty input can never succeed: exit code 65. */
#include <ctype.h>
#include <stdio.h>

int main(void) {
    int character, characters = 0;
    while ((character = getchar()) != EOF) {
        putchar(toupper(character));
        characters++;
    }
    if (characters == 0) {
        fputs("there is nothing to write\n", stderr);
        return 65;
    }
    return 0;
}
