// One thread learns sin(x) from a stream of samples; two others predict with the latest copy of its network. C++17.
#include "pynet.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

using Net = std::unique_ptr<pn_net, decltype(&pn_net_free)>;
using Model = std::shared_ptr<const std::vector<char>>; // a model as bytes
static Model latest;                                    // std::atomic_load and atomic_store: threads share it
static std::atomic<bool> done{false};

static void check(pn_status status, const char *message)
{
    if (status != PN_OK)
        throw std::runtime_error(message);
}

static Model copy(pn_net *net)
{
    size_t size;
    check(pn_net_save_memory(net, nullptr, 0, &size), pn_net_error(net)); // the size alone
    auto bytes = std::make_shared<std::vector<char>>(size);
    check(pn_net_save_memory(net, bytes->data(), size, &size), pn_net_error(net));
    return bytes;
}

static void learn()
{
    char err[PN_ERRLEN];
    pn_net *net;
    check(pn_net_new(&net, "input(1) dense(32) tanh dense(1)", 1, err), err);
    const Net owner(net, pn_net_free);
    pn_optim adam;
    pn_optim_default(&adam, PN_ADAM);
    for (int step = 0; step < 20000; step++) {
        float x[16], y[16];
        for (int i = 0; i < 16; i++) // the next samples of the stream
            y[i] = std::sin(x[i] = static_cast<float>((step * 16 + i) * 37 % 601) / 100 - 3);
        pn_data data{};
        data.x = x, data.dtype = PN_FLOAT32, data.targets = y, data.n = 16;
        check(pn_net_train(net, &data, nullptr, 16, 16, &adam, nullptr), pn_net_error(net));
        if (step % 100 == 99) // a net may be used by one thread at a time: the others get a copy
            std::atomic_store(&latest, copy(net));
    }
    done = true;
}

static void predict(const char *name)
{
    const float x = 1;
    float y = 0;
    pn_data data{};
    data.x = &x, data.dtype = PN_FLOAT32, data.n = 1;
    Model mine;
    for (bool last = false; !last; std::this_thread::yield()) {
        last = done; // then the latest copy is the final one
        if (mine == std::atomic_load(&latest))
            continue;
        mine = std::atomic_load(&latest);
        char err[PN_ERRLEN];
        pn_net *net;
        check(pn_net_load_memory(&net, mine->data(), mine->size(), err), err);
        const Net owner(net, pn_net_free);
        check(pn_net_predict(net, &data, 1, 1, &y), pn_net_error(net));
    }
    std::printf("%s: sin(1) = %.2f\n", name, static_cast<double>(y));
}

int main()
{
    std::thread learner(learn), first(predict, "first"), second(predict, "second");
    learner.join(), first.join(), second.join();
}
